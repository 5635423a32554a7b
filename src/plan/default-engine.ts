import type { StudyEngine } from "../records/study.js";
import { studySchema, toStudyEngine } from "./study-schema.js";

/** The engine settings of a study that names none. */
export const DEFAULT_ENGINE: StudyEngine = toStudyEngine(studySchema.shape.engine.parse({}));
