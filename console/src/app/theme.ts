/** Theme and height of rows, as attributes of the page. */

import { onPreferences, preferences } from "@/lib/preferences";

export function applyTheme(): void {
  const show = () => {
    const { theme, density } = preferences();
    const data = document.documentElement.dataset;
    data.theme = theme;
    data.density = density;
  };
  show();
  onPreferences(show);
}
