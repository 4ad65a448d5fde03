/**
 * Puts text on the clipboard; false when the browser does not let it. The clipboard is offered to secure pages only,
 * and a server in one's own network often has no certificate: there the selected field itself is copied.
 */
export async function copyText(
  text: string,
  field: HTMLInputElement | HTMLTextAreaElement,
): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}
