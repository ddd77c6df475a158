/** A write arrives late: after some more accesses. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string; accesses: number }> = ({ register, accesses }, { trigger }) => {
  const late: { left: number; store: () => void }[] = [];
  return {
    event(what) {
      if (what !== "accesses") return;
      for (const write of late) write.left--;
      while (late.length > 0 && late[0].left < 0) late.shift()!.store();
    },
    write(written, value, store) {
      if (!isMeant(register, written) || !trigger.hit(`${written} is written ${accesses} accesses later`)) {
        store(value);
      } else {
        late.push({ left: accesses, store: () => store(value) });
      }
    },
  };
};
