import "../lib/i18n/forStudio";
import "../lib/ui/base.css";
import "../lib/ui/controls.css";
import { mount } from "svelte";
import Studio from "./Studio.svelte";

mount(Studio, { target: document.getElementById("app") as HTMLElement });
