/** How tall the document is, whenever that changes. */
export function followSize(tell: (size: { width: number; height: number }) => void): () => void {
  let last = "";
  let frame = 0;
  const measure = () => {
    frame = 0;
    const root = document.documentElement;
    const before = root.style.height;
    // As tall as the frame is no answer: as tall as its contents want to be.
    root.style.height = "max-content";
    const height = Math.ceil(root.getBoundingClientRect().height);
    root.style.height = before;
    const width = Math.ceil(innerWidth);
    if (`${width} ${height}` === last) return;
    last = `${width} ${height}`;
    tell({ width, height });
  };
  const soon = () => {
    frame ||= requestAnimationFrame(measure);
  };
  const observer = new ResizeObserver(soon);
  observer.observe(document.documentElement);
  const body = () => document.body && observer.observe(document.body);
  if (document.body) body();
  else addEventListener("DOMContentLoaded", body, { once: true });
  soon();
  return () => {
    cancelAnimationFrame(frame);
    observer.disconnect();
  };
}
