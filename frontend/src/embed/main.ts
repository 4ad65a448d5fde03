import "../lib/ui/base.css";
import "../lib/ui/controls.css";
import { mount } from "svelte";
import Embed from "./Embed.svelte";

mount(Embed, { target: document.getElementById("app") as HTMLElement });
