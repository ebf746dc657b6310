/** Container whose content may be wider than it: then keys reach it and scroll it. */

import { type ReactNode, useEffect, useRef, useState } from "react";

export function Scroller({ children, className }: { children: ReactNode; className?: string | undefined }) {
  const box = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setScrolls(element.scrollWidth > element.clientWidth);
    const sizes = new ResizeObserver(measure);
    sizes.observe(element);
    for (const child of element.children) sizes.observe(child);
    return () => sizes.disconnect();
  });
  return (
    <div ref={box} className={className} {...(scrolls && { tabIndex: 0 })}>
      {children}
    </div>
  );
}
