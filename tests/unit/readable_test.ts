/** What a user who owns nothing can read. */
import { assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { needReadable } from "../../src/run/readable.ts";

/** What is said of a file, which must be refused. */
async function refusal(file: string): Promise<string> {
  return (await assertRejects(() => needReadable([file]), UserError) as UserError).message;
}

Deno.test("the first folder or file that is closed to others is named", async () => {
  // Not below the home of whoever runs this, which may be closed itself.
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  try {
    const file = `${folder}/driver.ts`;
    await Deno.writeTextFile(file, "");
    await Deno.chmod(file, 0o644);
    await Deno.chmod(folder, 0o700);
    assertStringIncludes(await refusal(file), `cannot read ${file}: ${folder} is closed to others`);
    // To enter is enough: nobody has to list it.
    await Deno.chmod(folder, 0o711);
    await needReadable([file]);
    await Deno.chmod(file, 0o640);
    assertStringIncludes(await refusal(file), `${file} is closed to others`);

    // What counts is where a link leads.
    await Deno.chmod(file, 0o644);
    await Deno.mkdir(`${folder}/closed`, { mode: 0o700 });
    await Deno.rename(file, `${folder}/closed/driver.ts`);
    await Deno.symlink("closed/driver.ts", file);
    assertStringIncludes(await refusal(file), `${folder}/closed is closed to others`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
