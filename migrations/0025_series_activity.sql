-- Which models, upstreams, client keys and users matter most, so that an answer
-- about the largest of very many reads those only. docs/storage.md says how they
-- are chosen.

-- One row for each narrow series of a cube with groups (2 to 5). Rows come and
-- change with the rollups; buckets are minutes since 1970, as there.
CREATE TABLE series_activity (
    series_id    bigint           NOT NULL PRIMARY KEY,
    -- Logarithm to base 2 of requests and thousands of tokens, of which those of a
    -- week later count twice: so older ones fade and no row has to be touched.
    weight       double precision NOT NULL,
    first_bucket integer          NOT NULL,
    last_bucket  integer          NOT NULL,
    cube         smallint         NOT NULL
);

-- From the days that are summed up; how many they are stands for how much.
INSERT INTO series_activity (series_id, weight, first_bucket, last_bucket, cube)
SELECT s.series_id,
       max(r.bucket) / 10080.0 + ln(count(*)) / ln(2.0),
       min(r.bucket),
       max(r.bucket) + 1439,
       s.cube
FROM series s
JOIN rollups r ON r.series_id = s.series_id AND r.level = 86400
WHERE s.cube BETWEEN 2 AND 5
GROUP BY s.series_id, s.cube;

CREATE INDEX series_activity_weight ON series_activity (cube, weight DESC);
CREATE INDEX series_activity_last ON series_activity (cube, last_bucket DESC);

-- Questions about everything need one row of the dictionary, not a look at all.
CREATE INDEX series_cube ON series (cube);
