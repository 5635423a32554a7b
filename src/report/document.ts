/**
 * A report as neutral content: written once, rendered as HTML and as Markdown. Every string is plain text, whoever wrote it:
 * renderers escape all of it and make invisible characters visible.
 */

/** Running text; `code` is shown letter by letter, `strong` stands out. */
export type Inline = string | { readonly code: string } | { readonly strong: string };

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

export interface TableCell {
  readonly text: string | readonly Inline[];
  /** Beside the text, in smaller type: an interval, a count. */
  readonly small?: string;
  /** Marks of footnotes that stand under the table. */
  readonly marks?: readonly string[];
  readonly missing?: boolean;
}

export interface TableRow {
  /** Rows of one group follow each other under its name. */
  readonly group?: string;
  readonly cells: readonly TableCell[];
}

export interface Table {
  readonly kind: "table";
  readonly caption: string;
  /** Title of the groups; set when rows have groups. */
  readonly groupTitle?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly TableRow[];
  readonly footnotes?: readonly { readonly mark: string; readonly text: string }[];
}

export interface Figure {
  readonly kind: "figure";
  readonly name: string;
  readonly title: string;
  readonly svg: string;
  readonly caption: string;
}

/** One thing to read as a whole, such as a trial: texts under labels, shown exactly. */
export interface Card {
  readonly kind: "card";
  readonly title: readonly Inline[];
  readonly tone: "good" | "bad" | "quiet";
  readonly verdict: string;
  readonly texts: readonly { readonly label: string; readonly text: string }[];
}

export type Block =
  | {
      readonly kind: "paragraph";
      readonly text: readonly Inline[];
      /** `lead` opens the report · `verdict` is what was found · `note` explains. */
      readonly tone?: "lead" | "verdict" | "note";
    }
  | { readonly kind: "subheading"; readonly title: string }
  | { readonly kind: "list"; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: "facts"; readonly facts: readonly { readonly name: string; readonly value: readonly Inline[] }[] }
  | { readonly kind: "verbatim"; readonly label: string; readonly text: string }
  | Table
  | Figure
  | Card;

export interface Section {
  /** Unique in the report, a-z and hyphens. */
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export interface ReportDocument {
  readonly title: string;
  readonly subtitle: string;
  readonly opening: readonly Block[];
  readonly sections: readonly Section[];
}

export function paragraph(...text: readonly Inline[]): Block {
  return { kind: "paragraph", text };
}

export function note(...text: readonly Inline[]): Block {
  return { kind: "paragraph", tone: "note", text };
}
