/** Tables: plain elements; a column says how its cells look. */

import { memo, type ReactNode } from "react";
import styles from "./table.module.css";

export type Column<R> = {
  id: string;
  title: string;
  cell: (row: R) => ReactNode;
  kind?: "number" | "wrap";
};

type Props<R> = { label: string; columns: readonly Column<R>[]; rows: readonly R[]; rowKey: (row: R) => string };

export function Table<R>({ label, columns, rows, rowKey }: Props<R>) {
  return (
    <table className={styles.table} aria-label={label}>
      <TableHead columns={columns} />
      <tbody>
        {rows.map((row) => (
          <TableRow key={rowKey(row)} columns={columns} row={row} />
        ))}
      </tbody>
    </table>
  );
}

export function TableHead<R>({ columns }: { columns: readonly Column<R>[] }) {
  return (
    <thead>
      <tr>
        {columns.map((column) => (
          <th key={column.id} scope="col" className={column.kind === "number" ? styles.number : undefined}>
            {column.title}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** A row, rendered anew when it or the columns are other ones. */
export const TableRow = memo(Row) as typeof Row;

function Row<R>({ columns, row }: { columns: readonly Column<R>[]; row: R }) {
  return (
    <tr>
      {columns.map((column) => (
        <td key={column.id} className={column.kind ? styles[column.kind] : undefined}>
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}

export const tableClass = styles.table;
