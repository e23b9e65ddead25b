"""Message classes from the text of their descriptions, without the package that owns them."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format


def make_message_classes(description: str, *names: str) -> list[type]:
    """Make message classes in a descriptor pool of their own.

    The pool is not the one of TensorFlow and its kin, so the same messages may exist there, too.

    Args:
      description: a `FileDescriptorProto` in text format.
      names: of the messages, without their package.

    Returns:
      One class for each name.
    """
    file = text_format.Parse(description, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in names
    ]
