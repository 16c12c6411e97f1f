// A made-up person whom everybody fits and who fits everybody, so any two demo users are a pair.

import { randomId } from "./session.js";

const NAMES = [
  "Ada", "Bruno", "Clara", "Dario", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Leo",
  "Mira", "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Samir", "Tilda", "Uma", "Viktor", "Wanda", "Yusuf",
];

const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

export function demoPerson() {
  return {
    email: `demo-${randomId()}@example.com`,
    username: oneOf(NAMES),
    password: randomId(),
    sex: oneOf(["female", "male", "other"]),
    age: 20 + Math.floor(Math.random() * 30),
    preferred_age: "18-120",
    preferred_sex: "any",
  };
}
