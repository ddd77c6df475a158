/** A channel with a fault between it and the driver. */
import type { Channel } from "../../driver/mod.ts";
import type { Hooks } from "./hooks.ts";

/** Of which channel, and what is told of its completions. */
interface FaultyChannelOptions {
  index: number;
  hooks: Hooks;
  /** Called for each completion, before it is added. */
  onComplete: (lengthFlags: number) => void;
}

/**
 * All that drivers use of a channel. A `Channel` has private fields, so that nothing else is one to the type
 * checker: the cast stands for that, and no driver can tell.
 */
export function faultyChannel(inner: Channel, { index, hooks, onComplete }: FaultyChannelOptions): Channel {
  const add = (token: number, lengthFlags: number) => inner.complete(token, lengthFlags);
  const faulty: Pick<Channel, keyof Channel> = {
    size: inner.size,
    submissions: inner.submissions,
    available: () => inner.available(),
    take: () => inner.take(),
    peek: (ahead) => inner.peek(ahead),
    complete(token, lengthFlags) {
      onComplete(lengthFlags);
      if (hooks.complete) hooks.complete({ channel: index, token, lengthFlags }, add);
      else add(token, lengthFlags);
    },
    publish() {
      inner.publish();
      hooks.published?.(index, inner.submissions);
    },
  };
  return faulty as unknown as Channel;
}
