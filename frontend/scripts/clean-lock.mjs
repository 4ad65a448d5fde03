// Takes every web address out of package-lock.json: npm leaves out download addresses by .npmrc,
// but still writes each package's "funding" link. Run by `npm run lock` after dependencies change.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
  delete entry.resolved;
}
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
