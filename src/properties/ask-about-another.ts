/** The words of a property's question when it is asked about somebody else: "your response" becomes "its response". Pure. */
export function askAboutAnother(question: string): string {
  return question
    .replace(/\b(y)our\b/gi, (_, first: string) => (first === "Y" ? "Its" : "its"))
    .replace(/\b(y)ou\b/gi, (_, first: string) => (first === "Y" ? "It" : "it"));
}
