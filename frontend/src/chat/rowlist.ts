import { t } from "../lib/i18n";
import { type Look, MessageRow, type RowEvents } from "./row.svelte";
import { type Gap, isGap, type Row } from "./rows";
import type { ChatStore } from "./store.svelte";

/** Rows as elements at the beginning of a list, which may have others behind them. */
export class RowList {
  readonly #list: HTMLElement;
  readonly #store: ChatStore;
  readonly #on: RowEvents;
  #drawn = new Map<number, MessageRow | GapRow>();

  constructor(list: HTMLElement, store: ChatStore, on: RowEvents) {
    this.#list = list;
    this.#store = store;
    this.#on = on;
    list.addEventListener("click", this.#clicked);
  }

  /** Draws these rows and no others, in this order. A row that stays keeps its element, and the focus in it. */
  draw(rows: readonly Row[], look: Look): void {
    const before = this.#drawn;
    this.#drawn = new Map();
    for (const row of rows) {
      const known = before.get(row.id);
      const drawn = isGap(row) ? gapOf(row, known) : this.#messageOf(row, look, known);
      if (drawn === known) before.delete(row.id);
      this.#drawn.set(row.id, drawn);
    }
    for (const gone of before.values()) gone.close();
    let next = this.#list.firstChild;
    for (const { element } of this.#drawn.values()) {
      if (element === next) next = element.nextSibling;
      else this.#list.insertBefore(element, next);
    }
  }

  close(): void {
    this.#list.removeEventListener("click", this.#clicked);
    for (const drawn of this.#drawn.values()) drawn.close();
    this.#drawn.clear();
  }

  #messageOf(message: Exclude<Row, Gap>, look: Look, known: MessageRow | GapRow | undefined): MessageRow {
    if (!(known instanceof MessageRow)) return new MessageRow(this.#store, this.#on, message, look);
    known.update(message, look);
    return known;
  }

  readonly #clicked = ({ target }: Event) => {
    const row = (target as Element).closest<HTMLElement>("[data-message]");
    const drawn = row && this.#drawn.get(Number(row.dataset.message));
    if (drawn instanceof MessageRow) drawn.press(target as Element);
  };
}

/** One line for what was taken away. */
class GapRow {
  readonly element = document.createElement("li");
  #drawn: Gap | null = null;

  constructor({ id }: Gap) {
    this.element.className = "message-row gap";
    this.element.setAttribute("data-row", String(id));
    this.element.setAttribute("data-testid", "chat-removed");
  }

  update(gap: Gap): void {
    const { name, count } = gap;
    if (this.#drawn?.name === name && this.#drawn.count === count) return;
    this.#drawn = gap;
    this.element.textContent = count > 1 ? t("chat.removedMany", { count }) : t("chat.removed", { name });
  }

  close(): void {
    this.element.remove();
  }
}

function gapOf(gap: Gap, known: MessageRow | GapRow | undefined): GapRow {
  const row = known instanceof GapRow ? known : new GapRow(gap);
  row.update(gap);
  return row;
}
