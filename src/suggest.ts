/** "Did you mean": the nearest of the words that would have been right. */

/** Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`: the optimal string alignment distance. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, before[j - 2] + 1);
      }
      row.push(edits);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}

/** The candidate nearest to `word`, if it is near enough to have been meant: one edit in three letters, or an abbreviation. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const meant = word.toLowerCase();
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const right = candidate.toLowerCase();
    // An abbreviation is nearer than a slip.
    const edits = meant.length >= 2 && right.startsWith(meant) ? 0.5 : distance(meant, right);
    if (edits < least && edits <= Math.max(1, Math.floor(Math.max(meant.length, right.length) / 3))) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}

/** A sentence's tail, `; did you mean "x"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const best = nearest(word, candidates);
  return best === undefined ? "" : `; did you mean "${best}"?`;
}
