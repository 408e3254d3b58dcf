for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const name = head.querySelector("strong");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name.textContent;
    name.replaceWith(button);
    button.addEventListener("click", () => {
      const isDown = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...body.rows];
      const absent = rows.filter((row) => value(row) === "");
      const present = rows.filter((row) => value(row) !== "");
      present.sort((a, b) => value(a).localeCompare(value(b), "en", { numeric: true }));
      if (column > 0) present.sort((a, b) => Number(value(a)) - Number(value(b)));
      if (isDown) present.reverse();
      body.append(...present, ...absent);
    });
  });
}
