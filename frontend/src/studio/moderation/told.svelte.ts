import { errorText } from "../words";

/** What a panel says of the last thing that was done in it. */
export class Told {
  text = $state("");
  failed = $state(false);
  busy = $state(false);

  /** Does it and says `done`, or why not; whether it was done. While something is under way, nothing else is begun. */
  async run(action: () => Promise<unknown>, done: string): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.text = "";
    try {
      await action();
      this.failed = false;
      this.text = done;
      return true;
    } catch (error) {
      this.failed = true;
      this.text = errorText(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** What is wrong before anything is asked. */
  refuse(text: string): void {
    this.failed = true;
    this.text = text;
  }
}
