// An answer of the service as a file.

// A spreadsheet runs a cell that begins so as a formula; the apostrophe makes it text.
function csvCell(value) {
  const text = String(value);
  const guarded = typeof value === "string" && /^[\s\p{Cc}\p{Cf}]*[=+\-@＝＋－＠]/u.test(text) ? `'${text}` : text;
  return `"${guarded.replaceAll('"', '""')}"`;
}

// One row a statement; the claims name the columns of their stances.
export function csv({ statements }, claims) {
  const names = claims.map((claim) => (claim ? `: ${claim}` : ""));
  const rows = [["statement", "speaker", "start", "stop", ...names.flatMap((name) => [`stance${name}`, `confidence${name}`])]];
  for (const { text, speaker, start, stop, stances } of statements) {
    rows.push([text, speaker, start, stop, ...stances.flatMap(({ stance, confidence }) => [stance ?? "", confidence])]);
  }
  return `\ufeff${rows.map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

export function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
