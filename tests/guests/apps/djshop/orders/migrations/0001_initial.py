from django.db import migrations, models


class Migration(migrations.Migration):
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("number", models.IntegerField(unique=True)),
                ("state", models.CharField(max_length=20, default="new")),
            ],
        ),
    )
