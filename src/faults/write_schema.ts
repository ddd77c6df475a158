/** Writes `tests/campaigns/schema.json` from the schema in `schema.ts`. */
import { campaignJsonSchema } from "./schema.ts";

/** Where the published schema lies: beside the campaigns. */
export const SCHEMA_FILE = new URL("../../tests/campaigns/schema.json", import.meta.url);

if (import.meta.main) await Deno.writeTextFile(SCHEMA_FILE, campaignJsonSchema());
