// The demo data that load scripts bet with: what `MigrateSchema` loads for `{"demoData": true}`.

export const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080';

export const PEOPLE = [
  '31c13867-275d-4890-a097-5945199642e4', // john_doe
  'e4fd9b5f-ca82-4e4b-86c3-c025fb2e2c4f', // jane_smith
  '2838b441-6aad-4f7d-9c34-af3f37a8730f', // mike_wilson
  'c0b8e7f0-bdd6-4be4-abdb-32c85353da5a', // sarah_brown
  'd3c05720-b864-480c-947a-6c18e5d31589', // alex_jones
];

export const GAMES = [
  'f783c034-82a0-4da5-b94a-06662871f974', // Real Madrid vs Barcelona
  '1be6aad2-fee9-4ce1-b9b0-a2ba066f802e', // Lakers vs Warriors
  'ab75e9c4-8c8e-4793-b048-6e37b8b3ace3', // Djokovic vs Nadal
  '2d9b0ed2-8cfa-41dc-aed5-b797c03742cd', // CS:GO Major Championship
  '0caf8d8c-b77b-40c3-b152-8692010585fb', // Kentucky Derby
];

export const BET_TYPES = [
  'win', 'lose', 'draw', 'over', 'under', 'exact_score', 'total_goals', 'first_goal', 'last_goal',
];

const LOAD_USERS = 1000;

/** Any of the list. */
export function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

/** Any of the 1,005 demo users: the five people, or a load user by number. */
export function anyUser() {
  const number = Math.floor(Math.random() * (PEOPLE.length + LOAD_USERS));
  if (number < PEOPLE.length) {
    return PEOPLE[number];
  }
  return `d0000000-0000-4000-8000-${String(number - PEOPLE.length + 1).padStart(12, '0')}`;
}

/** The body of a bet; stakes are small, so that no wallet runs dry during a load. */
export function bet(userId) {
  return JSON.stringify({
    userId,
    gameId: pick(GAMES),
    amount: Number((0.1 + Math.random() * 0.9).toFixed(2)),
    betType: pick(BET_TYPES),
    betValue: 'home',
    odds: Number((1.1 + Math.random() * 4).toFixed(2)),
  });
}

export const JSON_HEADERS = { 'Content-Type': 'application/json' };
