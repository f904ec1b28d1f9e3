/** Pictures on the page have links to rows (`timeline.py`); whoever shows such a row goes there. */
export function followLinks(find: (anchor: string) => void, signal: AbortSignal): void {
  const follow = (event: MouseEvent) => {
    const [target] = event.composedPath();
    if (!(target instanceof Element)) return;
    const link = target.closest<HTMLAnchorElement>('a[href^="#pmcp-row-"]');
    if (!link) return;
    event.preventDefault();
    find(link.hash.slice(1));
  };
  document.addEventListener("click", follow, { signal });
}
