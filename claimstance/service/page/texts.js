// The direction of a text, and the places in it.

// That of most of its letters.
export function directionOf(text) {
  const count = (letters) => text.match(letters)?.length ?? 0;
  return count(/[\u0590-\u08ff\ufb1d-\ufefc]/g) > count(/[A-Za-z\u00c0-\u058f]/g) ? "rtl" : "ltr";
}

// Offsets of the service count code points, those of a JavaScript string UTF-16 units.
export function unitsOfCodePoints(text) {
  const at = new Uint32Array(text.length + 1);
  let points = 0;
  for (let unit = 0; unit < text.length; unit += text.codePointAt(unit) > 0xffff ? 2 : 1) at[points++] = unit;
  at[points++] = text.length;
  return at.subarray(0, points);
}
