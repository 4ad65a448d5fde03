import { mount } from "svelte";
import Overlay from "./Overlay.svelte";

mount(Overlay, { target: document.getElementById("app") as HTMLElement });
