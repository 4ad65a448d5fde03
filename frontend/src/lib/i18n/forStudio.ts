import { golive } from "./golive";
import { register } from "./index";
import { moderation } from "./moderation";
import { studio } from "./studio";

register(studio);
register(golive);
register(moderation);
