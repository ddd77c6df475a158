/** What `ring3.ko` holds. */
import { openLibrary, Ring3 } from "../kernel/mod.ts";
import { checkout } from "../lab/checkout.ts";

/**
 * The module's counters by name, each zero when nothing is left of any driver; null where they cannot be
 * read: without the module, without root, or before anything was built.
 */
export async function moduleCounters(): Promise<Record<string, number> | null> {
  const library = `${checkout()}/build/ffi/libring3.so`;
  const there = await Promise.all(
    ["/dev/ring3", library].map((path) => Deno.stat(path).then(() => true, () => false)),
  );
  if (Deno.uid() !== 0 || there.includes(false)) return null;
  using ring3 = new Ring3(openLibrary(library));
  return Object.fromEntries(
    Object.entries(ring3.totals().counters).map(([name, count]) => [name, Number(count)]),
  );
}
