const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname).replace(/\/$/, "");

/** Absolute path of this checkout, without a slash at its end. */
export function checkout(): string {
  return ROOT;
}
