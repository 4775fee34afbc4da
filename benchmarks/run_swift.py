"""Train a job with ms-swift, in its own environment: run_swift.py JOB_FOLDER OUTPUT_FOLDER [bf16].

The ids, masks, order, learning rates and the adapter's start are the job's: ms-swift's trainer takes encoded rows.
Settings are for speed on a CPU: fp32, or a base in bf16 where asked, micro-batches of examples of like length, no
gradient checkpointing, fused AdamW, no worker process. Left at ms-swift's default: logits of supervised tokens only.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from job_rates import JobRates
from peer import Job, write_facts
from peft import PeftModel
from swift import Seq2SeqTrainer, Seq2SeqTrainingArguments, get_model_processor, get_template


def main(folder: Path, output: Path, dtype: torch.dtype) -> None:
    job = Job(folder)
    rows: Any = job.rows()
    model, processor = get_model_processor(
        job.base, model_type="llama", torch_dtype=dtype, device_map="cpu", attn_impl="sdpa"
    )
    template = get_template(processor, template_type="dummy", max_length=job.longest)
    template.set_mode("train")
    model = PeftModel.from_pretrained(model, job.start, is_trainable=True)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(output / "swift"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        adam_beta2=0.999,
        weight_decay=0.0,
        learning_rate=1.0,  # times the job's rate of the step
        lr_scheduler_type="linear",
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=job.batch_size // job.micro_batch,
        num_train_epochs=1,
        max_grad_norm=job.max_grad_norm,
        train_dataloader_shuffle=False,
        dataloader_num_workers=0,
        check_model=False,
        logging_first_step=False,
        logging_steps=len(rows),
        save_strategy="no",
        report_to=["none"],
        disable_tqdm=True,
    )
    trainer = Seq2SeqTrainer(model=model, args=arguments, template=template, train_dataset=rows)
    rates = JobRates(job.learning_rates)
    trainer.add_callback(rates)
    trainer.train()
    trainer.model.save_pretrained(output / "adapter")
    saved_at = time.time()
    write_facts(
        output,
        rates.times,
        job.padded_tokens(job.micro_batch),
        saved_at=saved_at,
        head_tokens=job.learned_tokens,
        precision="bf16" if dtype == torch.bfloat16 else "fp32",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), torch.bfloat16 if "bf16" in sys.argv[3:] else torch.float32)
