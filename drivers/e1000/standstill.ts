/**
 * A ring in which nothing moves although the card is done with all that it knows of: what says so never came or was
 * lost, or the card was never told.
 */
export class Standstill {
  #ahead = false;
  #done = 0;

  /**
   * A look, some time after the last one.
   * @param ahead The card is done, and there are descriptors that do not say so.
   * @param done Changes whenever the driver has found some that do.
   * @returns Whether that was so at the last look too, and nothing has been found since.
   */
  look(ahead: boolean, done: number): boolean {
    const stands = ahead && this.#ahead && this.#done === done;
    this.#ahead = ahead;
    this.#done = done;
    return stands;
  }
}
