/** One line of a form's error summary. */
export interface FieldError {
  /** The field's id, when the error belongs to one. */
  field?: string;
  text: string;
}

/** The fields of a form with what is wrong with each, as the list for its error summary. */
export function fieldErrors(checks: Record<string, string | null>): FieldError[] {
  return Object.entries(checks).flatMap(([field, text]) => (text === null ? [] : [{ field, text }]));
}
