import "../lib/ui/base.css";
import "../lib/ui/controls.css";
import { mount } from "svelte";
import Watch from "./Watch.svelte";

mount(Watch, { target: document.getElementById("app") as HTMLElement });
