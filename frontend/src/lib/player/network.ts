interface Connection extends EventTarget {
  type?: string;
}

/** Events come in bunches while a device changes over. */
const SETTLE_MS = 1_000;

/**
 * Calls when the device is in another network, where the browser tells of it (Network Information API: Chromium on
 * phones, above all). That the estimate of a connection's speed changes does not count. The result ends it.
 */
export function onNetworkChange(
  call: () => void,
  connection: Connection | undefined = (navigator as { connection?: Connection }).connection,
): () => void {
  if (!connection) return () => {};
  let type = connection.type;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (connection.type === type || connection.type === "none") return;
      type = connection.type;
      call();
    }, SETTLE_MS);
  };
  connection.addEventListener("change", changed);
  return () => {
    clearTimeout(timer);
    connection.removeEventListener("change", changed);
  };
}
