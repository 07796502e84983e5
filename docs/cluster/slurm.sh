#!/bin/bash
# Four nodes of eight GPUs; asked again after a pre-emption or the time limit, it goes on where it stopped.
#
#   sbatch docs/cluster/slurm.sh
#
#SBATCH --job-name=cloze
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

set -euo pipefail
source .venv/bin/activate

export OMP_NUM_THREADS=1                 # the GPUs do the products
export NCCL_ASYNC_ERROR_HANDLING=1       # a lost rank ends the others instead of leaving them waiting

# One task a GPU: Slurm starts them all, and its --signal reaches each of them.
srun --kill-on-bad-exit=1 python train.py \
  hardware=slurm \
  experiment=bert_base_paper \
  corpus=text corpus.files='/data/wiki/*.jsonl.zst' corpus.prepared=/scratch/wiki \
  checkpoint.every_minutes=15 \
  run=wiki-base
