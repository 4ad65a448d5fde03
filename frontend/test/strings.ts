import { register } from "../src/lib/i18n";
import { en } from "../src/lib/i18n/en";

// Components are tested one by one, without the page that registers their strings.
register(en);
