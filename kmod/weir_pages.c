// SPDX-License-Identifier: GPL-2.0
/*
 * weir_pages.c - the memory of buffers: zeroed system pages, in runs as long as they come.
 */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#ifdef CONFIG_X86
#include <asm/set_memory.h>
#endif

#include "weir.h"

/* Runs of 2 MiB: what an IOMMU and a TLB can map by one entry. */
#define WEIR_PAGES_ORDER	(PAGE_SHIFT < 21 ? 21 - PAGE_SHIFT : 0)

/*
 * The contiguous memory area is open to modules by the DMA API alone, and pages that came that way
 * go back that way, perhaps long after their render node's device was unbound. So they belong to a
 * device of the module's own, which no IOMMU translates and which lives as long as the module.
 */
static struct platform_device *weir_cma_device;

int weir_pages_init(void)
{
	struct platform_device *pdev;
	int ret;

	pdev = platform_device_register_simple("weir-contiguous", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	ret = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret) {
		platform_device_unregister(pdev);
		return ret;
	}
	weir_cma_device = pdev;
	return 0;
}

void weir_pages_exit(void)
{
	platform_device_unregister(weir_cma_device);
}

/*
 * Memory that CPUs map both cached and uncached is safe only where nothing of the cached alias can
 * be dirty. x86 changes the kernel's own mapping too. Elsewhere the DMA API cleans the caches for
 * a device that does not snoop; for one that does it cleans nothing, and caching is right for it.
 */
bool weir_bo_uncached(struct weir_bo *bo)
{
	if (!(bo->flags & WEIR_BO_WRITE_COMBINED))
		return false;
	return IS_ENABLED(CONFIG_X86) || !to_weir(bo->base.dev)->coherent;
}

static unsigned long weir_pages_count(struct weir_bo *bo)
{
	return bo->base.size >> PAGE_SHIFT;
}

static gfp_t weir_pages_gfp(struct weir_bo *bo)
{
	gfp_t gfp = bo->flags & WEIR_BO_BELOW_4G ? GFP_USER | GFP_DMA32 : GFP_HIGHUSER;

	return gfp | __GFP_ZERO | __GFP_ACCOUNT | __GFP_NOWARN;
}

static bool weir_pages_suit(struct weir_bo *bo, struct page *page, u64 size)
{
	return !(bo->flags & WEIR_BO_BELOW_4G) || page_to_phys(page) + size <= SZ_4G;
}

/* A run of single pages; whoever asks for less than it has gets the rest freed. */
static struct page *weir_pages_run(struct weir_bo *bo, gfp_t gfp, unsigned int order,
				   unsigned long keep)
{
	struct page *page = alloc_pages(gfp, order);
	unsigned long i;

	if (!page)
		return NULL;
	if (!weir_pages_suit(bo, page, PAGE_SIZE << order)) {
		__free_pages(page, order);
		return NULL;
	}
	split_page(page, order);
	for (i = keep; i < 1ul << order; i++)
		__free_page(page + i);
	return page;
}

static struct page *weir_pages_cma(struct weir_bo *bo)
{
	struct device *dev = &weir_cma_device->dev;
	struct page *page;

	page = dma_alloc_pages(dev, bo->base.size, &bo->cma, DMA_BIDIRECTIONAL,
			       GFP_KERNEL | __GFP_NOWARN);
	if (!page)
		return NULL;
	if (!weir_pages_suit(bo, page, bo->base.size)) {
		dma_free_pages(dev, bo->base.size, page, bo->cma, DMA_BIDIRECTIONAL);
		return NULL;
	}
	bo->from_cma = true;
	return page;
}

static int weir_pages_contiguous(struct weir_bo *bo)
{
	unsigned long n = weir_pages_count(bo), i;
	struct page *page;

	page = weir_pages_run(bo, weir_pages_gfp(bo) | __GFP_RETRY_MAYFAIL,
			      get_order(bo->base.size), n);
	if (!page)
		page = weir_pages_cma(bo);
	if (!page)
		return -ENOSPC;
	for (i = 0; i < n; i++)
		bo->pages[i] = page + i;
	return 0;
}

/*
 * Long runs first, without effort; shorter ones where memory is in pieces; single pages with
 * reclaim, but never by the out-of-memory killer: who asks for too much is told so.
 */
static int weir_pages_scattered(struct weir_bo *bo)
{
	gfp_t gfp = weir_pages_gfp(bo), tries;
	unsigned long n = weir_pages_count(bo), at = 0, i;
	unsigned int order = WEIR_PAGES_ORDER;
	struct page *page;

	while (at < n) {
		if (fatal_signal_pending(current))
			return -EINTR;
		order = min_t(unsigned int, order, ilog2(n - at));
		tries = order ? (gfp | __GFP_NORETRY) & ~__GFP_DIRECT_RECLAIM :
				gfp | __GFP_RETRY_MAYFAIL;
		page = weir_pages_run(bo, tries, order, 1ul << order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order--;
			continue;
		}
		for (i = 0; i < 1ul << order; i++)
			bo->pages[at++] = page + i;
		cond_resched();
	}
	return 0;
}

static int weir_pages_set_uncached(struct weir_bo *bo)
{
#ifdef CONFIG_X86
	int ret = set_pages_array_wc(bo->pages, weir_pages_count(bo));

	if (ret)
		set_pages_array_wb(bo->pages, weir_pages_count(bo));
	else
		bo->wc_alias = true;
	return ret;
#else
	return 0;
#endif
}

int weir_pages_get(struct weir_bo *bo)
{
	int ret;

	bo->pages = kvcalloc(weir_pages_count(bo), sizeof(*bo->pages),
			     GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!bo->pages)
		return -ENOMEM;
	if (bo->flags & WEIR_BO_CONTIGUOUS)
		ret = weir_pages_contiguous(bo);
	else
		ret = weir_pages_scattered(bo);
	if (!ret && weir_bo_uncached(bo))
		ret = weir_pages_set_uncached(bo);
	return ret;
}

void weir_pages_put(struct weir_bo *bo)
{
	unsigned long n = weir_pages_count(bo), i;

#ifdef CONFIG_X86
	if (bo->wc_alias)
		set_pages_array_wb(bo->pages, n);
#endif
	if (bo->from_cma) {
		dma_free_pages(&weir_cma_device->dev, bo->base.size, bo->pages[0], bo->cma,
			       DMA_BIDIRECTIONAL);
	} else {
		for (i = 0; i < n && bo->pages[i]; i++) {
			__free_page(bo->pages[i]);
			cond_resched();
		}
	}
	kvfree(bo->pages);
	bo->pages = NULL;
}
