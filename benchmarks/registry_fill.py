"""A registry of any size in PostgreSQL, written by the server itself: for benchmarks of its search.

Ten modules a model, a class each; 200 datasets, the first few used most; a tenth of everything is another
tenant's. Figures and sizes are random, and the small ones are not the good ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

MODULES_PER_MODEL = 10
DATASETS = 200
_DIGEST = "md5({0}::text) || md5('x' || {0})"
_ID = "lpad(to_hex({0}), 12, '0') || substr(md5({0}::text), 1, 20)"
_TENANT = "CASE WHEN m % 10 = 9 THEN '{other}' ELSE '{own}' END"
_MADE = "1700000000000 + m * 1000"

_STEPS = (
    """INSERT INTO datasets (id, tenant_id, name, digest, info, uploaded, created_at)
    SELECT 'ds_' || d || '_' || t.id, t.id, CASE d WHEN 0 THEN 'cifar10' ELSE 'data' || d END,
        {digest_d}, '{{}}', false, 0
    FROM generate_series(0, {datasets} - 1) d, tenants t WHERE t.id IN ('{own}', '{other}')""",
    """CREATE TEMP TABLE made AS SELECT m, {tenant} AS tenant_id, {id_m} AS id, {made} AS created_at,
        floor({datasets} * power(random(), 3))::int AS d FROM generate_series(0, {models} - 1) m""",
    """INSERT INTO jobs (id, tenant_id, kind, state, spec, spec_sha256, priority, version, event_seq,
        attempt, lease_token, available_at, progress, result, created_at, queued_at, started_at, finished_at)
    SELECT 'job_' || k.short || id, tenant_id, k.kind, 'succeeded', '{{"kind": "train"}}', {digest_m}, 50, 4,
        4, 1, 1, created_at, '{{}}', '{{}}', created_at, created_at, created_at, created_at
    FROM made, (VALUES ('t', 'train'), ('e', 'extract')) k(short, kind)""",
    """INSERT INTO models (id, tenant_id, job_id, origin, dataset_id, architecture, approach, recipe,
        input_shape, units, parameters, flops, seed, versions, created_at, accuracy_validation, accuracy_test)
    SELECT 'mdl_' || id, tenant_id, 'job_t' || id, 'trained', 'ds_' || d || '_' || tenant_id,
        (ARRAY['simcnn', 'rescnn', 'vgg16', 'resnet18', 'small_cnn'])[1 + m % 5],
        (ARRAY['nemo', 'mwt', 'moda'])[1 + m % 3], (ARRAY['cleave', 'published'])[1 + m % 2], '[3, 32, 32]',
        '{{"features.1": 32}}', 100000 + floor(random() * 10000000), 5000000, m % 7, '{{"torch": "2.14.1"}}',
        created_at, 0.6 + 0.4 * random(), 0.6 + 0.4 * random()
    FROM made""",
    """INSERT INTO model_classes (model_id, tenant_id, position, name, created_at, parameters,
        accuracy_validation, accuracy_test)
    SELECT models.id, made.tenant_id, k, {name}, made.created_at, parameters, accuracy_validation,
        accuracy_test
    FROM made JOIN models ON models.id = 'mdl_' || made.id, generate_series(0, {each} - 1) k""",
    """INSERT INTO modules (id, tenant_id, model_id, job_id, form, fold_amplitudes, threshold, mask_digest,
        retention_rate, parameters, parameter_rate, flops, flops_rate, notes, created_at, f1_validation,
        f1_test)
    SELECT 'mod_' || {id_n}, tenant_id, 'mdl_' || id, 'job_e' || id, (ARRAY['static', 'gated'])[1 + m % 2],
        false, 0.9, {digest_n}, random(), 5000 + floor(1000000 * power(random(), 2)), 0.2, 100000, 0.2, '[]',
        created_at, 0.6 + 0.4 * sqrt(random()), 0.6 + 0.4 * sqrt(random())
    FROM made, LATERAL (SELECT k, m * {each} + k AS n FROM generate_series(0, {each} - 1) k) numbers""",
    """INSERT INTO module_classes (module_id, tenant_id, position, name, created_at, parameters, score,
        f1_validation, f1_test)
    SELECT modules.id, made.tenant_id, 0, {name}, made.created_at, parameters, f1_validation, f1_validation,
        f1_test
    FROM made, LATERAL (SELECT k, m * {each} + k AS n FROM generate_series(0, {each} - 1) k) numbers
    JOIN modules ON modules.id = 'mod_' || {id_n}""",
    """INSERT INTO metrics (tenant_id, job_id, owner_id, name, value, split, created_at)
    SELECT tenant_id, job_id, id, 'f1', CASE split WHEN 'test' THEN f1_test ELSE f1_validation END, split,
        created_at
    FROM modules, (VALUES ('validation'), ('test')) splits(split)""",
    """INSERT INTO labels (owner_id, tenant_id, kind, key, value, created_at, parameters, f1_validation,
        f1_test)
    SELECT id, tenant_id, 'mod', '', 'tag' || floor(100 * power(random(), 2)), created_at, parameters,
        f1_validation, f1_test
    FROM modules""",
    """INSERT INTO artifacts (id, tenant_id, sha256, size, filename, media_type, job_id, created_at)
    SELECT replace(id, 'mod_', 'art_'), tenant_id, mask_digest, 40000, 'module.safetensors',
        'application/octet-stream', job_id, created_at FROM modules""",
    """INSERT INTO artifact_links (owner_id, role, tenant_id, artifact_id)
    SELECT id, 'weights', tenant_id, replace(id, 'mod_', 'art_') FROM modules""",
)
# The first datasets share the class `cat`; each other class is of one dataset.
_NAME = "CASE WHEN k = 0 AND d < 5 THEN 'cat' ELSE 'class ' || d || '-' || k END"


def fill(connection: Connection, modules: int, own: str, other: str) -> None:
    """Fill a migrated, empty database that has these two tenants."""
    words = {
        "own": own,
        "other": other,
        "tenant": _TENANT.format(own=own, other=other),
        "made": _MADE,
        "name": _NAME,
        "models": str(modules // MODULES_PER_MODEL),
        "each": str(MODULES_PER_MODEL),
        "datasets": str(DATASETS),
        **{f"digest_{letter}": _DIGEST.format(letter) for letter in "dmn"},
        **{f"id_{letter}": _ID.format(letter) for letter in "mn"},
    }
    # What triggers copy and foreign keys check is right as it is written here.
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET synchronous_commit = off")
    connection.execute("SELECT setseed(0.5)")
    with _indexes_last(connection):
        for step in _STEPS:
            connection.execute(step.format(**words).encode())
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE")


@contextmanager
def _indexes_last(connection: Connection) -> Iterator[None]:
    """To keep them while rows come in at random would take most of the time."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND indexdef NOT LIKE 'CREATE UNIQUE%'"
    ).fetchall()
    connection.execute("SET maintenance_work_mem = '512MB'")
    for name, _ in found:
        connection.execute(f'DROP INDEX "{name}"'.encode())
    yield
    for _, definition in found:
        connection.execute(definition.encode())
