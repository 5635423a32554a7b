/** inward's version; a test holds it to package.json. It is part of every plan. */
export const INWARD_VERSION = "0.1.0";
