"use strict";
// Sorts a table by the column whose button was pressed; pressed again, the other way round.
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) =>
      a === undefined || b === undefined ? 0 : a.localeCompare(b, undefined, { numeric: true });
    const numeric = heading.dataset.sort === "number";
    const rows = [...body.rows].sort((a, b) =>
      numeric ? Number(value(a)) - Number(value(b)) : compare(value(a), value(b)));
    if (!ascending) rows.reverse();
    body.append(...rows);
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  });
}
