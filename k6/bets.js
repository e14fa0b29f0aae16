// Bets and nothing else, as fast as they are answered: a closed loop over the 1,005 demo users.
//
//   k6 run k6/bets.js                       8 users, 30 s
//   k6 run -e VUS=20 -e DURATION=60s k6/bets.js
//
// Thresholds decide the exit code; BASE_URL moves the target.

import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import { BASE_URL, JSON_HEADERS, anyUser, bet } from './demo.js';

const betsProcessed = new Counter('bets_processed');

export const options = {
  vus: Number(__ENV.VUS || 8),
  duration: __ENV.DURATION || '30s',
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    bets_processed: ['count>0'],
  },
  summaryTrendStats: ['avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
};

const PARAMS = { headers: JSON_HEADERS, tags: { name: 'bet' } };

export default function () {
  const response = http.post(`${BASE_URL}/api/bet`, bet(anyUser()), PARAMS);
  if (check(response, { 'bet: accepted': (r) => r.status === 200 })) {
    betsProcessed.add(1);
  }
}
