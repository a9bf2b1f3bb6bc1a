// Before the first paint, so that a dark page does not flash: the theme that was chosen.
{
  const chosen = localStorage.getItem("nibble.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
}
