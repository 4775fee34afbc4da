"""Fine-tuning jobs: files, uploads, the queue, the process that trains, graders."""
