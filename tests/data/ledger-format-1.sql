-- A ledger of format 1, as the release of November 2026 made it from two folders (sqlite3's dump; paths shortened to /old).
PRAGMA application_id = 1583459073;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,      -- absolute; bytes that are not UTF-8 are kept as they are
    source TEXT NOT NULL,           -- as it was named
    mask TEXT NOT NULL,             -- below the output folder, with /
    mask_key TEXT NOT NULL UNIQUE,  -- the same without case, composed: two masks are told apart on every disk
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    bytes INTEGER NOT NULL,         -- of the image file, as it was read
    mtime_ns INTEGER NOT NULL,
    height INTEGER,                 -- pixels, upright
    width INTEGER,
    lesion_area INTEGER,            -- pixels
    lesion_fraction REAL,           -- of the image's area
    bbox_x0 INTEGER,                -- lesion columns x0 <= x < x1, rows y0 <= y < y1; NULL: empty mask
    bbox_y0 INTEGER,
    bbox_x1 INTEGER,
    bbox_y1 INTEGER,
    confidence REAL,                -- mean of max(p, 1 - p) over the probability map
    seconds REAL,                   -- of work on this image, all stages together
    error TEXT,
    key TEXT,                       -- as in runs, of the run that finished the item
    run INTEGER NOT NULL,           -- the last run that took the item on
    finished_at TEXT
);
INSERT INTO "items" VALUES(1,'/old/photos/000.png','/old/photos','photos/000.png','photos/000.png','done',205,1795638304442926119,104,46,1191,2.48954849498327746015e-01,4,12,27,64,8.74276201415341347455e-01,4.38011350343003869056e-03,NULL,'91d17794de0c9b20',1,'2026-11-25T20:25:04+00:00');
INSERT INTO "items" VALUES(2,'/old/photos/001.png','/old/photos','photos/001.png','photos/001.png','done',222,1795638304443544578,54,104,1399,2.49109686609686603597e-01,45,15,97,42,8.75352335424395278096e-01,4.94916849856963381171e-03,NULL,'91d17794de0c9b20',1,'2026-11-25T20:25:04+00:00');
INSERT INTO "items" VALUES(3,'/old/photos/002.png','/old/photos','photos/002.png','photos/002.png','done',156,1795638304443943299,43,47,479,2.37011380504700636118e-01,7,9,30,30,8.74000465322751551866e-01,1.64867549756309017539e-03,NULL,'91d17794de0c9b20',1,'2026-11-25T20:25:04+00:00');
INSERT INTO "items" VALUES(4,'/old/more/000.png','/old/more','more/000.png','more/000.png','done',225,1795638304444497067,107,60,1578,2.45794392523364491065e-01,3,15,33,68,8.69577212288277223706e-01,1.55695050125359557569e-03,NULL,'91d17794de0c9b20',1,'2026-11-25T20:25:04+00:00');
INSERT INTO "items" VALUES(5,'/old/more/001.png','/old/more','more/001.png','more/001.png','done',255,1795638304444887359,73,105,1865,2.43313763861709053681e-01,23,3,75,39,8.74923414288787171244e-01,1.50396000390173867344e-03,NULL,'91d17794de0c9b20',1,'2026-11-25T20:25:04+00:00');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('format_version','1');
INSERT INTO "meta" VALUES('name_template','{stem}.png');
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,   -- UTC, ISO 8601
    finished_at TEXT,           -- NULL: still running, or killed
    key TEXT NOT NULL,          -- settings and model that masks depend on
    model TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    device TEXT NOT NULL,
    provider TEXT NOT NULL,
    precision TEXT NOT NULL,
    settings TEXT NOT NULL,     -- JSON
    tools TEXT NOT NULL,        -- JSON: name -> version
    summary TEXT                -- JSON
);
INSERT INTO "runs" VALUES(1,'2026-11-25T20:25:04+00:00','2026-11-25T20:25:04+00:00','91d17794de0c9b20','stand-in.onnx','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','cpu','stand-in','fp32','{"sources": ["/old/photos", "/old/more"], "out": "/old/m", "model": null, "device": "auto", "compute": null, "exact": false, "name": "{stem}.png", "mask_bits": 1, "overlays": null, "batch": null, "workers": null, "limit": null, "files_from": [], "postprocess": [], "max_failures": null, "ledger": "/old/m", "profile": null, "probs": null, "probs_format": "png", "max_pixels": 400000000, "processes": null}','{"python": "3.11.7", "seglab": "0.1.0", "numpy": "2.4.6", "opencv-python-headless": "5.0.0.93", "pillow": "13.0.0", "simplejpeg": "1.9.0", "onnxruntime-gpu": "1.31.1", "openvino": "2026.4.1"}','{"done": 5, "failed": 0, "skipped": 0, "repeated": 0, "interrupted": false, "other_files": 0, "hidden_files": 0, "unreadable_folders": [], "seconds": 0.009, "images_per_second": 545.0, "stages": [{"stage": "walk", "threads": 1, "busy": 0.023885679299271944, "waiting": 0.0, "milliseconds": 0.04382660044939257, "queue": 0.0, "images": 5}, {"stage": "decode", "threads": 2, "busy": 0.42265944170444597, "waiting": 0.13907497729637328, "milliseconds": 1.5510320008615963, "queue": 2.142857142857143, "images": 5}, {"stage": "infer", "threads": 1, "busy": 0.07996148375876107, "waiting": 0.5276019528870467, "milliseconds": 0.14671720055048354, "queue": 0.8333333333333334, "images": 5}, {"stage": "write", "threads": 2, "busy": 0.30537263975413204, "waiting": 0.586096431949161, "milliseconds": 1.1206249990209471, "queue": 2.142857142857143, "images": 5}, {"stage": "ledger", "threads": 1, "busy": 0.05578041265526587, "waiting": 0.0, "milliseconds": 0.10234860092168674, "queue": 0.0, "images": 5}], "notes": []}');
CREATE INDEX unfinished ON items (status, path) WHERE status <> 'done';
COMMIT;
