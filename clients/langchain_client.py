"""LangChain as its users call it: python langchain_client.py BASE_URL MODEL TUNED ENCODER"""

import sys

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

COLOUR = {
    "title": "Colour",
    "description": "A colour and how bright it is.",
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": ["red", "blue"]},
        "brightness": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["name", "brightness"],
    "additionalProperties": False,
}


def main(base_url: str, model: str, tuned: str, encoder: str) -> None:
    """Chat, stream, a structured answer, embeddings; each step is told on a line."""
    for name in (model, tuned):
        chat = ChatOpenAI(base_url=base_url, api_key="none", model=name, temperature=0, max_tokens=8, max_retries=0)
        whole = chat.invoke("Hello")
        assert whole.content and whole.usage_metadata["output_tokens"] > 0, whole
    print("chat")

    parts = [chunk.content for chunk in chat.stream("Hello")]
    assert len(parts) > 1 and "".join(parts).strip() == whole.content.strip(), (parts, whole.content)
    print("stream")

    wide = ChatOpenAI(base_url=base_url, api_key="none", model=model, temperature=0, max_tokens=200, max_retries=0)
    answer = wide.with_structured_output(COLOUR, method="json_schema", strict=True).invoke("Which colour?")
    assert answer["name"] in ("red", "blue") and 0 <= answer["brightness"] <= 9, answer
    print("with_structured_output")

    embeddings = OpenAIEmbeddings(
        base_url=base_url, api_key="none", model=encoder, check_embedding_ctx_length=False, max_retries=0
    )
    vectors = embeddings.embed_documents(["a cat", "a kitten", "a tax form"])
    alike, other = (sum(a * b for a, b in zip(vectors[0], vector, strict=True)) for vector in vectors[1:])
    assert alike > other, (alike, other)
    print("embeddings")


if __name__ == "__main__":
    main(*sys.argv[1:5])
