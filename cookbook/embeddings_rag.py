"""Embeddings: which of a few sentences are close to a question, through the client, LangChain and LlamaIndex.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/embeddings_rag.py`.
"""

from __future__ import annotations

from _server import lm_studio_or_emulator
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document, VectorStoreIndex

from lmstudio_integrations import Client
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding

NOTES = [
    "The yellow crane on the south quay lifts up to forty tons.",
    "The canteen serves soup and fried fish from eleven to two.",
    "The ferry to the island leaves the north pier at seven in the morning.",
]
QUESTION = "When does the ferry to the island leave?"


def main() -> None:
    """The same notes three times: vectors, a chain with a retriever, an index."""
    with lm_studio_or_emulator() as server:
        with Client(server.url) as client:
            vectors = client.embedding.model(server.embedding_model).embed(NOTES)
            print(f"The client: {len(vectors)} vectors of {len(vectors[0])} numbers")

        store = InMemoryVectorStore.from_texts(
            NOTES, LMStudioEmbeddings(model=server.embedding_model, base_url=server.url)
        )
        for document, score in store.similarity_search_with_score(QUESTION, k=3):
            print(f"LangChain: {score:.2f} {document.page_content}")

        retriever = store.as_retriever(search_kwargs={"k": 1})
        prompt = ChatPromptTemplate.from_template("{notes}\n\n{question} Answer in one sentence.")
        model = ChatLMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=60)
        notes = retriever | (lambda documents: "\n".join(document.page_content for document in documents))
        chain = {"notes": notes, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()
        print("LangChain's answer:", chain.invoke(QUESTION))

        embedding = LMStudioEmbedding(model=server.embedding_model, base_url=server.url)
        index = VectorStoreIndex.from_documents([Document(text=note) for note in NOTES], embed_model=embedding)
        for node in index.as_retriever(similarity_top_k=3).retrieve(QUESTION):
            print(f"LlamaIndex: {node.score or 0.0:.2f} {node.text}")


if __name__ == "__main__":
    main()
