import { binomialMass, binomialUpTo } from "../binomial.js";

export interface McNemarP {
  readonly exactP: number;
  readonly midP: number;
}

/**
 * Are discordant pairs split evenly? Two-sided binomial test of Q. McNemar 1947 (Psychometrika 12, 153-157), and its mid-p form,
 * which counts half of what was seen (Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91).
 * Only for rows that are independent of each other: rows of one string are not.
 * @param first pairs that only the first has right; second: only the second
 * @returns 1 for both when there is no discordant pair
 */
export function mcNemarTest(first: number, second: number): McNemarP {
  const discordant = first + second;
  if (discordant === 0) return { exactP: 1, midP: 1 };
  const fewer = Math.min(first, second);
  const mass = binomialMass(fewer, discordant, 0.5);
  if (first === second) return { exactP: 1, midP: 1 - mass / 2 };
  const exactP = Math.min(1, 2 * binomialUpTo(fewer, discordant, 0.5));
  return { exactP: Math.max(exactP, 1e-300), midP: Math.max(exactP - mass, 1e-300) };
}
