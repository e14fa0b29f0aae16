// What a visitor does: the five calls, with 0.1 to 0.5 s to think between them.
//
//   k6 run k6/script.js --stage 60s:20
//
// Two of five steps are bets. Thresholds decide the exit code; BASE_URL moves the target.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';
import { BASE_URL, JSON_HEADERS, anyUser, bet } from './demo.js';

const betsProcessed = new Counter('bets_processed');

export const options = {
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    'http_req_duration{name:bet}': ['p(95)<250'],
    'http_req_duration{name:bets}': ['p(95)<250'],
    'http_req_duration{name:analytics}': ['p(95)<500'],
    bets_processed: ['count>0'],
  },
  summaryTrendStats: ['avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
};

function tagged(name) {
  return { tags: { name } };
}

function health() {
  const response = http.get(`${BASE_URL}/api/health`, tagged('health'));
  check(response, {
    'health: 200': (r) => r.status === 200,
    'health: PostgreSQL is healthy': (r) => r.json('services.postgresql') === 'healthy',
  });
}

function placeBet() {
  const response = http.post(`${BASE_URL}/api/bet`, bet(anyUser()), {
    headers: JSON_HEADERS,
    tags: { name: 'bet' },
  });
  const accepted = check(response, {
    'bet: 200': (r) => r.status === 200,
    'bet: accepted': (r) => r.status === 200 && r.json('status') === 'accepted',
  });
  if (accepted) {
    betsProcessed.add(1);
  }
}

function listBets() {
  const response = http.get(`${BASE_URL}/api/bets/${anyUser()}?limit=10`, tagged('bets'));
  check(response, {
    'bets: 200': (r) => r.status === 200,
    'bets: a page': (r) => r.status === 200 && Array.isArray(r.json('bets')),
  });
}

function analytics() {
  const response = http.get(`${BASE_URL}/api/analytics/bets?groupBy=hour`, tagged('analytics'));
  check(response, {
    'analytics: 200': (r) => r.status === 200,
    'analytics: periods': (r) => r.status === 200 && Array.isArray(r.json('analytics')),
  });
}

function metrics() {
  const response = http.get(`${BASE_URL}/metrics`, tagged('metrics'));
  check(response, { 'metrics: 200': (r) => r.status === 200 });
}

export default function () {
  for (const step of [health, placeBet, listBets, placeBet, analytics, metrics]) {
    step();
    sleep(0.1 + Math.random() * 0.4);
  }
}
