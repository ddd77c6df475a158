/** Writes `manifests/schema.json` from the schema in `schema.ts`. */
import { jsonSchema } from "./schema.ts";

/** Where the published schema lies. */
export const SCHEMA_FILE = new URL("../../manifests/schema.json", import.meta.url);

if (import.meta.main) await Deno.writeTextFile(SCHEMA_FILE, jsonSchema());
