import "../lib/ui/base.css";
import "../lib/ui/controls.css";
import { mount } from "svelte";
import ChatOnly from "./ChatOnly.svelte";

mount(ChatOnly, { target: document.getElementById("app") as HTMLElement });
