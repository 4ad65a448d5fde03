import { register } from "./index";
import { parts } from "./parts";

register(parts);
