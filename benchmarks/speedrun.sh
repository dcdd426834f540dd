#!/usr/bin/env bash
# From an empty machine with the data to the tables of results and their pages.
#
#   bash benchmarks/speedrun.sh DATA WORK          DATA holds ham10000/ and fitzpatrick21/; hours on two cores
#   bash benchmarks/speedrun.sh --tiny WORK        the same steps on synthetic images, a minute or two; to see it run
#
# WORK keeps caches and run folders: what is finished there is not run again. PYTHON names the interpreter (default: .venv,
# which is made where it is absent). The tables are written to benchmarks/results, of --tiny to WORK/results.
set -euo pipefail
cd "$(dirname "$0")/.."
tiny=""
if [ "${1:-}" = "--tiny" ]; then tiny=yes; shift; else data="${1:?DATA, the folder of ham10000/ and fitzpatrick21/}"; shift; fi
work="${1:?WORK, a folder for caches and runs}"
mkdir -p "$work"
if [ -z "${PYTHON:-}" ]; then
    [ -x .venv/bin/python ] || { python3 -m venv .venv && .venv/bin/pip install -q -e ".[lite,export]"; }
    PYTHON=.venv/bin/python
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

finetune() { # name, words: the folds of a cross-validation; goes on where one was cut
    name="$1"; shift
    if [ -d "$work/$name" ]; then
        "$PYTHON" -m dermasense.cross_validate "resume=$work/$name"
    else
        "$PYTHON" -m dermasense.cross_validate "$@" "hydra.run.dir=$work/$name"
    fi
}

judge() { # name, dataset, network@size, what it is: among the out-of-fold systems, one view and the mean of four flips
    "$PYTHON" benchmarks/folds_of_run.py "$work/$1" --dataset "$2" --system "$1" --networks "$3" --about "$4, one view"
    "$PYTHON" benchmarks/folds_of_run.py "$work/$1" --dataset "$2" --system "$1_flips" --networks "$3x4" \
        --about "$4, 4 views averaged" --views flips --root "$data/$2" --cache "$work/cache" --base "$1"
}

many() { # the same over more views: how many and which come last
    "$PYTHON" benchmarks/folds_of_run.py "$work/$1" --dataset "$2" --system "$1_many" --networks "$3x$5" \
        --about "$4, $5 views averaged" --views "$6" --root "$data/$2" --cache "$work/cache" --base "$1_flips"
}

if [ -n "$tiny" ]; then
    results="$work/results"
    finetune tiny data=synthetic data.n_lesions=60 data.image_px=40 model.image_size=32 weights=none phases=frozen \
        phases.frozen.epochs=1 num_workers=0 logger=none report.images=false folds=3 "cache_dir=$work/cache"
    "$PYTHON" benchmarks/network_costs.py lite0@32 --turns 2 --results "$results/network_costs.csv"
    "$PYTHON" benchmarks/folds_of_run.py "$work/tiny" --dataset ham10000 --system tiny --networks lite0@32 \
        --about "a tiny run on synthetic images" --results "$results"
    "$PYTHON" benchmarks/folds_of_run.py "$work/tiny" --dataset ham10000 --system tiny_flips --networks lite0@32x4 \
        --views flips --cache "$work/cache" --base tiny --results "$results"
    "$PYTHON" benchmarks/oof.py ham10000 --resamples 100 --results "$results"
    exit 0
fi

"$PYTHON" benchmarks/features.py "$data" "$work" ham10000:lite0:flips ham10000:lite1:flips \
    ham10000:lite2:none fitzpatrick21:lite2:none
"$PYTHON" benchmarks/probes.py "$data" "$work" --networks lite0 lite1
"$PYTHON" benchmarks/probes.py "$data" "$work" --networks lite0 lite2 lite0+lite2 --views none
"$PYTHON" benchmarks/probes.py "$data" "$work" --dataset fitzpatrick21 --networks lite2 --views none
"$PYTHON" benchmarks/late.py "$data" lite2_lr --only metadata
"$PYTHON" benchmarks/late.py "$data" lite0_lr_flips lite2_lr --only stack
finetune lite0_se_mlp experiment=b1_se_lite name=lite0_se_mlp model.image_size=224 balance=none augment=none loss=ce \
    phases=frozen cache.views=1 "data.root=$data/ham10000" folds=5 logger=none "cache_dir=$work/cache"
"$PYTHON" benchmarks/folds_of_run.py "$work/lite0_se_mlp" --dataset ham10000 --system lite0_se_mlp --base lite0_lr \
    --about "frozen lite0 at 224 px, the SE head, one view" --networks lite0@224
finetune b1_se_lite experiment=b1_se_lite "data.root=$data/ham10000" folds=5 logger=none "cache_dir=$work/cache"
"$PYTHON" benchmarks/folds_of_run.py "$work/b1_se_lite" --dataset ham10000 --system b1_se_lite --networks lite0@96 \
    --about "b1_se's recipe on lite0 at 96 px, one view"
finetune ham_short experiment=ham_short "data.root=$data/ham10000" folds=5 logger=none "cache_dir=$work/cache"
judge ham_short ham10000 lite0@144 "all of lite0 at 144 px"
"$PYTHON" benchmarks/late.py "$data" ham_short_flips --only metadata
"$PYTHON" benchmarks/late.py "$data" lite0_lr_flips lite2_lr ham_short_flips --only stack
finetune ham_blocks experiment=ham_blocks "data.root=$data/ham10000" folds=5 logger=none "cache_dir=$work/cache"
judge ham_blocks ham10000 lite2@200 "the last ten blocks of lite2 at 200 px"
"$PYTHON" benchmarks/late.py "$data" ham_short_flips ham_blocks_flips --only mean --system ham_pair
finetune ham_lite2 experiment=ham_short name=ham_lite2 model=lite2 model.image_size=176 "data.root=$data/ham10000" folds=5 \
    logger=none "cache_dir=$work/cache"
judge ham_lite2 ham10000 lite2@176 "all of lite2 at 176 px"
"$PYTHON" benchmarks/late.py "$data" ham_short_flips ham_blocks_flips ham_lite2_flips --only mean --system ham_trio
"$PYTHON" benchmarks/late.py "$data" ham_short_flips ham_blocks_flips ham_lite2_flips --only pool --system ham_trio_pool \
    --base ham_trio
finetune ham_lite1 experiment=ham_short name=ham_lite1 model=lite1 model.image_size=192 balance=mixup \
    "data.root=$data/ham10000" folds=5 logger=none "cache_dir=$work/cache"
judge ham_lite1 ham10000 lite1@192 "all of lite1 at 192 px, pictures blended in pairs"
"$PYTHON" benchmarks/late.py "$data" ham_blocks_flips ham_lite2_flips ham_lite1_flips --only pool --system ham_pool \
    --base ham_trio_pool
many ham_lite2 ham10000 lite2@176 "all of lite2 at 176 px" 18 dihedral+ten_crops
many ham_lite1 ham10000 lite1@192 "all of lite1 at 192 px, pictures blended in pairs" 18 dihedral+ten_crops
many ham_blocks ham10000 lite2@200 "the last ten blocks of lite2 at 200 px" 18 dihedral+ten_crops
"$PYTHON" benchmarks/late.py "$data" ham_blocks_many ham_lite2_many ham_lite1_many --only pool --system ham_many --base ham_pool
"$PYTHON" benchmarks/late.py "$data" ham_many --only lesion
for system in ham_many ham_many_lesion; do
    "$PYTHON" benchmarks/late.py "$data" $system --only metadata
    "$PYTHON" benchmarks/late.py "$data" "${system}_metadata" --only half_prior
    "$PYTHON" benchmarks/late.py "$data" "${system}_metadata" --only prior
done
finetune fitzpatrick_short experiment=fitzpatrick_short "data.root=$data/fitzpatrick21" folds=5 logger=none \
    "cache_dir=$work/cache"
judge fitzpatrick_short fitzpatrick21 lite2@260 "the last six blocks of lite2 at 260 px"
finetune fitzpatrick_short_1 experiment=fitzpatrick_short seed=1 split.seed=0 "data.root=$data/fitzpatrick21" folds=5 \
    logger=none "cache_dir=$work/cache"
judge fitzpatrick_short_1 fitzpatrick21 lite2@260 "the last six blocks of lite2 at 260 px, seed 1"
"$PYTHON" benchmarks/late.py "$data" lite2_lr_half_prior fitzpatrick_short_flips --dataset fitzpatrick21
"$PYTHON" benchmarks/late.py "$data" fitzpatrick_short_flips fitzpatrick_short_1_flips --dataset fitzpatrick21 \
    --only mean --system fitzpatrick_pair
"$PYTHON" benchmarks/late.py "$data" lite2_lr_half_prior fitzpatrick_short_flips fitzpatrick_short_1_flips \
    --dataset fitzpatrick21 --only pool --system fitzpatrick_pool --base fitzpatrick_pair
many fitzpatrick_short fitzpatrick21 lite2@260 "the last six blocks of lite2 at 260 px" 9 flips+crops
many fitzpatrick_short_1 fitzpatrick21 lite2@260 "the last six blocks of lite2 at 260 px, seed 1" 9 flips+crops
"$PYTHON" benchmarks/late.py "$data" lite2_lr_half_prior fitzpatrick_short_many fitzpatrick_short_1_many \
    --dataset fitzpatrick21 --only pool --system fitzpatrick_many --base fitzpatrick_pool
"$PYTHON" benchmarks/leak.py "$data" "$work"
"$PYTHON" benchmarks/label_efficiency.py "$data" "$work"
"$PYTHON" benchmarks/conditions.py "$data" "$work" --system fitzpatrick_many
"$PYTHON" benchmarks/originals.py "data.root=$data/ham10000" --work "$work/originals"
"$PYTHON" benchmarks/oof.py
"$PYTHON" benchmarks/leaderboard_page.py
"$PYTHON" benchmarks/originals_page.py
"$PYTHON" benchmarks/readme_table.py
