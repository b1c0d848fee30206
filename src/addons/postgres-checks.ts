import type { DiagnosisCheck } from '../domain/diagnosis';

type Row = Readonly<Record<string, string | number>>;

/** One question to the server. The answer is judged by its rows, which are what `pg:diagnose` shows. */
export interface DatabaseCheck {
  name: string;
  /** Columns are what is shown; numbers that are only to be judged start with `_`. */
  select: string;
  judge: (rows: readonly Row[], limits: { connections: number | null }) => DiagnosisCheck['status'];
}

const MINUTE = `interval '1 minute'`;
const ACTIVITY = `FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
  AND pid <> pg_backend_pid()`;
const DURATION = (column: string): string => `date_trunc('second', now() - ${column})::text AS duration`;
const QUERY = `left(regexp_replace(query, '\\s+', ' ', 'g'), 200) AS query`;
const MIB = 1024 * 1024;

/** Heroku's checks ("pg:diagnose" in Dev Center "Managing Heroku Postgres Using the CLI"); the limits are ours. */
export const DATABASE_CHECKS: readonly DatabaseCheck[] = [
  {
    name: 'Connection Count',
    select: `SELECT count(*) AS count ${ACTIVITY}`,
    judge: ([row], { connections }) => {
      const share = Number(row?.['count'] ?? 0) / (connections ?? Infinity);
      return share >= 0.9 ? 'red' : share >= 0.75 ? 'yellow' : 'green';
    },
  },
  {
    name: 'Long Queries',
    select: `SELECT pid, ${DURATION('query_start')}, ${QUERY} ${ACTIVITY}
      AND state = 'active' AND query_start < now() - ${MINUTE} ORDER BY query_start LIMIT 20`,
    judge: redIfAny,
  },
  {
    name: 'Long Transactions',
    select: `SELECT pid, ${DURATION('xact_start')}, state, ${QUERY} ${ACTIVITY}
      AND xact_start < now() - 5 * ${MINUTE} ORDER BY xact_start LIMIT 20`,
    judge: yellowIfAny,
  },
  {
    name: 'Idle in Transaction',
    select: `SELECT pid, ${DURATION('state_change')}, ${QUERY} ${ACTIVITY}
      AND state LIKE 'idle in transaction%' AND state_change < now() - ${MINUTE} ORDER BY state_change LIMIT 20`,
    judge: redIfAny,
  },
  {
    name: 'Indexes',
    // Read never, though written to, and large enough to matter.
    select: `SELECT 'Never used' AS reason, schemaname || '.' || relname || '::' || indexrelname AS index,
        pg_size_pretty(pg_relation_size(indexrelid)) AS index_size,
        pg_size_pretty(pg_relation_size(s.relid)) AS table_size
      FROM pg_stat_user_indexes AS s JOIN pg_index AS i USING (indexrelid)
      WHERE idx_scan = 0 AND NOT indisunique AND pg_relation_size(indexrelid) > ${MIB}
      ORDER BY pg_relation_size(indexrelid) DESC LIMIT 20`,
    judge: yellowIfAny,
  },
  {
    name: 'Bloat',
    // Pages that the table has against those that its rows, as ANALYZE saw them, would fill.
    select: `SELECT 'table' AS type, object, round(pages / needed, 1) AS bloat,
        pg_size_pretty(((pages - needed) * size)::bigint) AS waste, round((pages - needed) * size / ${MIB}) AS _waste_mb
      FROM (
        SELECT n.nspname || '.' || c.relname AS object, c.relpages::numeric AS pages,
          current_setting('block_size')::numeric AS size,
          greatest(ceil(c.reltuples::numeric * (28 + sum((1 - s.null_frac) * s.avg_width)::numeric)
            / (current_setting('block_size')::numeric - 24)), 1) AS needed
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited
        WHERE c.relkind = 'r' AND c.reltuples >= 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        GROUP BY n.nspname, c.relname, c.relpages, c.reltuples
      ) AS tables
      WHERE pages / needed > 2 AND (pages - needed) * size > 50 * ${MIB}
      ORDER BY pages - needed DESC LIMIT 20`,
    judge: (rows) =>
      rows.some((row) => Number(row['bloat']) > 10 && Number(row['_waste_mb']) > 100)
        ? 'red'
        : yellowIfAny(rows),
  },
  {
    name: 'Hit Rate',
    // Of a database that has hardly been read nothing can be said.
    select: `SELECT name, round(hits / (hits + reads), 4) AS ratio FROM (
        SELECT 'overall index hit rate' AS name, sum(idx_blks_hit) AS hits, sum(idx_blks_read) AS reads
          FROM pg_statio_user_indexes
        UNION ALL SELECT 'overall cache hit rate', sum(heap_blks_hit), sum(heap_blks_read) FROM pg_statio_user_tables
      ) AS rates WHERE hits + reads > 10000 AND hits / (hits + reads) < 0.99`,
    judge: redIfAny,
  },
  {
    name: 'Blocking Queries',
    select: `SELECT blocked.pid AS blocked_pid, blocking.pid AS blocking_pid,
        date_trunc('second', now() - blocked.query_start)::text AS duration,
        left(blocked.query, 100) AS blocked_query, left(blocking.query, 100) AS blocking_query
      FROM pg_stat_activity AS blocked CROSS JOIN LATERAL unnest(pg_blocking_pids(blocked.pid)) AS by (pid)
        JOIN pg_stat_activity AS blocking ON blocking.pid = by.pid
      WHERE blocked.datname = current_database() AND blocked.query_start < now() - interval '10 seconds' LIMIT 20`,
    judge: redIfAny,
  },
  {
    name: 'Sequences',
    select: `SELECT schemaname || '.' || sequencename AS sequence, last_value AS value, max_value AS maximum,
        round(100.0 * last_value / max_value, 1) AS percent
      FROM pg_sequences WHERE increment_by > 0 AND last_value > 0.75 * max_value ORDER BY 4 DESC LIMIT 20`,
    judge: percentage,
  },
  {
    name: 'Table Transaction ID Wraparound',
    select: `SELECT n.nspname || '.' || c.relname AS table, age(c.relfrozenxid) AS age,
        round(100.0 * age(c.relfrozenxid) / 2000000000, 1) AS percent
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'm') AND age(c.relfrozenxid) > 1500000000 ORDER BY 2 DESC LIMIT 20`,
    judge: percentage,
  },
  {
    name: 'Database Transaction ID Wraparound',
    select: `SELECT datname AS database, age(datfrozenxid) AS age,
        round(100.0 * age(datfrozenxid) / 2000000000, 1) AS percent
      FROM pg_database WHERE datname = current_database() AND age(datfrozenxid) > 1500000000`,
    judge: percentage,
  },
  {
    name: 'Schema Count',
    select: `SELECT count FROM (SELECT count(*) AS count FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema') AS schemas WHERE count > 50`,
    judge: yellowIfAny,
  },
];

/** Prints one line of JSON: the check's name and its rows. */
export function checkStatement({ name, select }: DatabaseCheck): string {
  return `SELECT jsonb_build_object('name', '${name}', 'rows', coalesce(jsonb_agg(to_jsonb(row)), '[]')) FROM (${select}) AS row`;
}

/** What the statements printed. A check that printed nothing failed, or took too long. */
export function readChecks(printed: string, limits: { connections: number | null }): DiagnosisCheck[] {
  const answers = new Map(
    printed
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { name: string; rows: Row[] })
      .map(({ name, rows }) => [name, rows]),
  );
  return DATABASE_CHECKS.map(({ name, judge }) => {
    const rows = answers.get(name);
    if (rows === undefined) {
      return { name, status: 'skipped', results: [{ error: 'It could not be checked in time.' }] };
    }
    return { name, status: judge(rows, limits), results: rows.map(withoutHidden) };
  });
}

function redIfAny(rows: readonly Row[]): 'red' | 'green' {
  return rows.length > 0 ? 'red' : 'green';
}
function yellowIfAny(rows: readonly Row[]): 'yellow' | 'green' {
  return rows.length > 0 ? 'yellow' : 'green';
}
function percentage(rows: readonly Row[]): DiagnosisCheck['status'] {
  return rows.some(({ percent }) => Number(percent) > 90) ? 'red' : yellowIfAny(rows);
}

function withoutHidden(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith('_')));
}
